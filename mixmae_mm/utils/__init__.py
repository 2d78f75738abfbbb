"""What knows no model: compatibility, seeds, atomic writes, settings of configs."""
