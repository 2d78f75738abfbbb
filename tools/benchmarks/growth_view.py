"""Tables and a plot of what `growth.py` measured: rows of one setting each, as its `measure` gives them."""

import matplotlib

matplotlib.use('Agg')

# isort: split
from growth_settings import FACTORS
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator
from rich.table import Table

COLUMNS = 'images', 'ms', 'MB', 'G multiply-adds', 'time', 'memory', 'multiply-adds', 'time / multiply-adds'
COSTS = {
    'seconds': dict(label='time', color='C0', linestyle='-', marker='o'),
    'bytes': dict(label='memory', color='C1', linestyle='-', marker='^'),
    'multiply_adds': dict(label='multiply-adds', color='0.3', linestyle='--', marker='x'),
}
TITLES = {'mixmae': 'MixMAE', 'mixedae': 'MixedAE'}
WIDTH, HEIGHT = 3.2, 3.4  # of a panel, inches of 100 px


def lay_out(rows: list[dict], exponents: dict[str, float]) -> Table:
    """Lay one factor of a method out; the exponents stand below the ratios."""
    title = f'{TITLES[rows[0]["method"]]}: {FACTORS[rows[0]["factor"]]}, costs of an image, then those of the base'
    table = Table(rows[0]['factor'], title=title)
    for column in COLUMNS:
        table.add_column(column, justify='right')
    for row in rows:
        table.add_row(
            row['name'],
            str(row['setting']['batch']),
            f'{row["seconds"] * 1e3:.0f}',
            f'{row["bytes"] / 1e6:.0f}',
            f'{row["multiply_adds"] / 1e9:.2f}',
            *(f'{row["of_base"][cost]:.2f}' for cost in COSTS),
            f'{row["time_per_multiply_add"]:.2f}',
        )
    table.add_section()
    fitted = [f'{exponents[cost]:.2f}' for cost in COSTS]
    table.add_row('exponent', '', '', '', '', *fitted, f'{exponents["seconds"] - exponents["multiply_adds"]:.2f}')
    return table


def draw_growth(rows: list[dict], exponents: dict[str, dict[str, float]], caption: str) -> pyplot.Figure:
    """Draw a row of panels for each method and a column for each factor, all on one scale.

    `exponents` is given by method and factor, as 'mixmae batch'.
    """
    methods, factors = (list(dict.fromkeys(row[key] for row in rows)) for key in ('method', 'factor'))
    size = WIDTH * max(len(factors), 2), HEIGHT * len(methods) + 1
    figure, panels = pyplot.subplots(
        len(methods), len(factors), sharey=True, squeeze=False, figsize=size, layout='constrained', dpi=100
    )
    panels[0, 0].set_ylim(*_range(rows))
    for method, across in zip(methods, panels, strict=True):
        across[0].set_ylabel(f'{TITLES[method]}: cost of an image\n(base setting = 1)', fontsize=12)
        for factor, axes in zip(factors, across, strict=True):
            there = [row for row in rows if (row['method'], row['factor']) == (method, factor)]
            if there:
                _draw_panel(axes, there, exponents[f'{method} {factor}'])
            else:
                axes.set_axis_off()
    alone = (
        [] if all(row['on_curve'] for row in rows) else [Line2D([], [], label='MAE (one source)', **_alone('black'))]
    )
    lines = [Line2D([], [], **style) for style in COSTS.values()]
    figure.legend(handles=lines + alone, loc='outside upper center', ncols=4, frameon=False, fontsize=12)
    figure.supxlabel(caption, fontsize=10, color='0.4')
    return figure


def _draw_panel(axes: Axes, rows: list[dict], exponents: dict[str, float]) -> None:
    """Draw the costs of one method against one factor."""
    factor = rows[0]['factor']
    axes.set_xscale('log')
    axes.set_yscale('log', base=2)
    axes.set_xlabel(FACTORS[factor], fontsize=11)
    time, memory, multiply_adds = (f'{style["label"]} {exponents[cost]:.2f}' for cost, style in COSTS.items())
    axes.set_title(f'exponents: {time},\n{memory}, {multiply_adds}', fontsize=10, color='0.3')
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    for cost, style in COSTS.items():
        on_curve, others = ([row for row in rows if row['on_curve'] is on] for on in (True, False))
        axes.plot([row['value'] for row in on_curve], [row['of_base'][cost] for row in on_curve], **style)
        axes.plot([row['value'] for row in others], [row['of_base'][cost] for row in others], **_alone(style['color']))
    names = [f'{row["name"]}\n{row["value"]:.0f}' if factor == 'size' else row['name'] for row in rows]
    axes.set_xticks([row['value'] for row in rows], names)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f'{ratio:g}'))
    axes.tick_params(labelsize=10)


def _range(rows: list[dict]) -> tuple[float, float]:
    """Return the limits of the ratios, with a margin; half and double are always inside."""
    ratios = [0.5, 2, *(row['of_base'][cost] for row in rows for cost in COSTS)]
    return min(ratios) / 1.15, max(ratios) * 1.15


def _alone(color: str) -> dict[str, object]:
    """Style what belongs to no curve."""
    return dict(linestyle='none', marker='o', markerfacecolor='none', color=color)
