"""What check_dataset.py looks for, a file for each kind of data set; nothing here writes or prints."""
