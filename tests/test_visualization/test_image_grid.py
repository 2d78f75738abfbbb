import numpy as np
import pytest
import torch
from tiny_mixmae import build, tiny_mixedae

from mixmae_mm.apis.reconstruction_inferencer import reconstruct
from mixmae_mm.mixing import NOBODY
from mixmae_mm.structures import Reconstructions
from mixmae_mm.visualization import Mark, Panel, describe, draw_grid, draw_rows, image_grid, masked_labels
from mixmae_mm.visualization.image_grid import FRAME, GAP, HEADER, LINE, MARGIN, panel_place


def random_result(groups=2, num_sources=2, channels=3, maps=None):
    """Random images of 4 x 8 px and random maps."""
    shape = (groups, num_sources, channels, 4, 8)
    sources, reconstructed = (torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2))
    assignment = torch.randint(NOBODY, num_sources, (maps or groups, 2, 4))
    return Reconstructions(sources, torch.randint_like(sources[:, 0], 0, 256), reconstructed, assignment)


def shown_pixels(canvas, row, column, size=(4, 8), factor=32):
    """The pixels of a panel; all of a block must be alike."""
    x, y = panel_place(row, column, (size[1] * factor, size[0] * factor))
    panel = canvas.crop((x, y, x + size[1] * factor, y + size[0] * factor))
    blocks = np.asarray(panel).reshape(size[0], factor, size[1], factor, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    return blocks[:, 0, :, 0].astype(int)


def seen_by_loops(result, row):
    """What the encoder saw, and whose it was, pixel by pixel: two of (4, 8, 3)."""
    grid = result.assignment[row if len(result.assignment) > 1 else 0]
    mixed, whose = np.zeros((4, 8, 3), int), np.zeros((4, 8, 3), int)
    for y, x in np.ndindex(4, 8):
        owner = int(grid[y * grid.shape[0] // 4, x * grid.shape[1] // 8])
        pixel = [int(value) for value in result.mixed[row, :, y, x]]
        for channel in range(3):
            mixed[y, x, channel] = 190 if owner == NOBODY else pixel[channel % len(pixel)]
            tinted = 0.65 * image_grid.COLORS[owner][channel] + 0.35 * sum(pixel) / len(pixel)
            whose[y, x, channel] = 190 if owner == NOBODY else round(tinted)
    return mixed, whose


@pytest.mark.parametrize('maps', [1, 2])
@pytest.mark.parametrize(('channels', 'num_sources'), [(3, 1), (3, 2), (3, 4), (1, 2)])
def test_every_panel_holds_its_image_enlarged_pixel_by_pixel(channels, num_sources, maps):
    result = random_result(2, num_sources, channels, maps)
    canvas = draw_rows(result, 'caption')
    for row in range(2):
        originals, reconstructions = (
            [image.expand(3, 4, 8).permute(1, 2, 0).numpy() for image in images[row]]
            for images in (result.sources, result.reconstructed)
        )
        middle = seen_by_loops(result, row)[: 1 if num_sources == 1 else 2]
        for column, image in enumerate([*originals, *middle, *reconstructions]):
            assert abs(shown_pixels(canvas, row, column) - image).max() <= (column == num_sources + 1)  # rounding


def test_originals_and_reconstructions_are_framed_in_the_colors_of_the_map():
    canvas = draw_rows(random_result(1, 3), 'caption')
    for column, source in [(0, 0), (1, 1), (2, 2), (3, None), (4, None), (5, 0), (6, 1), (7, 2)]:
        x, y = panel_place(0, column, (256, 128))
        around = np.asarray(canvas.crop((x - 4, y - 4, x + 256 + 4, y + 128 + 4))).astype(int)
        expected = (255, 255, 255) if source is None else image_grid.COLORS[source]
        for frame in (around[1:4], around[-4:-1], around[:, 1:4].swapaxes(0, 1), around[:, -4:-1].swapaxes(0, 1)):
            assert (frame[:, 4:-4] == expected).all()


def test_colors_stay_apart_whatever_the_lightness_of_an_image_adds():
    colors = torch.tensor([image_grid.color_of(source) for source in range(8)], dtype=torch.float32)
    hues = colors - colors.mean(dim=1, keepdim=True)
    assert torch.pdist(hues).min() > 60
    assert hues.norm(dim=1).min() > 100  # from gray
    assert image_grid.color_of(9) == image_grid.color_of(1)


def test_texts_stay_outside_the_panels_and_inside_the_grid():
    white = np.full((160, 160, 3), 255, np.uint8)
    rows = [[Panel(white, 'a title that is too long for its panel', 'below') for _ in range(2)] for _ in range(2)]
    canvas = draw_grid(rows, 'a caption ' * 30, ['first\nlabel', 'second'])
    ink = np.asarray(canvas.convert('L')) < 250
    assert canvas.width == MARGIN + 2 * 160 + 3 * GAP
    assert not ink[:, -GAP:].any()
    for row in range(2):
        for column in range(2):
            x, y = panel_place(row, column, (160, 160), texts=True, left=MARGIN)
            assert not ink[y : y + 160, x : x + 160].any()
            assert ink[y + 160 + FRAME : y + 160 + FRAME + LINE, x : x + 160].any()
        assert ink[y : y + 160, :MARGIN].any()
    assert ink[: HEADER - FRAME, MARGIN:].any()
    assert not ink[: HEADER - FRAME, MARGIN + GAP + 160 : MARGIN + 2 * GAP + 160].any()
    assert ink[y + 160 + FRAME + LINE + GAP :].any()


def test_a_mark_frames_its_patch():
    gray = np.full((128, 128, 3), 100, np.uint8)
    canvas = draw_grid([[Panel(gray, marks=[Mark(1, 2, (4, 4), (0, 255, 0))])]], '')
    green = (np.asarray(canvas) == (0, 255, 0)).all(-1)
    rows, columns = np.nonzero(green)
    assert (rows.min(), rows.max()) == (HEADER + 33, HEADER + 62)
    assert (columns.min(), columns.max()) == (GAP + 65, GAP + 94)
    assert not green[HEADER + 48, GAP + 80]


@pytest.mark.parametrize(
    ('method', 'settings', 'said'),
    [
        (None, dict(norm_pix=False), '2 images per mixture, cells of 8 px, 50% of each masked. Frame'),
        (None, dict(mask_ratio=0.25), '2 images per mixture, cells of 8 px, 25%, 75% of originals 1 to 2 masked. F'),
        (tiny_mixedae, dict(take_turns=True), '4 images per mixture, cells of 8 px, 75% of each masked. Frame'),
        (tiny_mixedae, dict(num_sources=2, shares=(0.25, 0.25)), '75% of each masked. 50% of the cells belong to no s'),
        (tiny_mixedae, dict(num_sources=1, mask_ratio=0.75), 'Cells of 8 px, 75% of them masked (gray). Rec'),
    ],
)
def test_caption_says_how_much_is_masked_of_which_image(five_images, method, settings, said):
    model = build(**settings) if method is None else build(method, **settings)
    caption = describe(model, reconstruct(model, five_images[1][:4].float(), 0))
    assert said in caption
    assert ('mean and standard deviation of its original' in caption) == settings.get('norm_pix', True)


def test_labels_say_how_much_is_masked():
    blank = torch.zeros(2, 2, 3, 4, 4, dtype=torch.uint8)
    result = Reconstructions(blank, blank[:, 0], blank, torch.tensor([[[0, 0], [0, 1]], [[1, 1], [1, 1]]]))
    assert masked_labels(result) == ['masked\n25%\n75%', 'masked\n100%\n0%']
