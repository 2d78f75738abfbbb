import numpy as np
import pytest
import torch
from tiny_mixmae import CELL, build, tiny_mixedae

from mixmae_mm.apis.reconstruction_inferencer import reconstruct
from mixmae_mm.mixing import NOBODY
from mixmae_mm.structures import Reconstructions
from mixmae_mm.visualization import image_grid


def cut_panel(canvas, row, column, size):
    x, y = image_grid.panel_place(row, column, size)
    return canvas.crop((x, y, x + size[0], y + size[1]))


def random_result(groups=2, num_sources=2, channels=3, grid=(2, 4), least=NOBODY, maps=None):
    """Random images of 4 x 8 px and random maps, of sources from `least` on."""
    shape = (groups, num_sources, channels, 4, 8)
    sources, reconstructed = (torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2))
    assignment = torch.randint(least, num_sources, (maps or groups, *grid))
    return Reconstructions(sources, torch.randint_like(sources[:, 0], 0, 256), reconstructed, assignment)


def shown_pixels(canvas, row, column):
    """The pixels of a panel of 4 x 8 px, enlarged 32 times: (4, 8, 3); all of a block must be alike."""
    blocks = np.asarray(cut_panel(canvas, row, column, (256, 128))).reshape(4, 32, 8, 32, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    return blocks[:, 0, :, 0].astype(int)


def seen_by_loops(result, row):
    """What the encoder saw, and whose it was, pixel by pixel: two of (4, 8, 3)."""
    grid = result.assignment[row if len(result.assignment) > 1 else 0]
    mixed, whose = np.zeros((4, 8, 3), int), np.zeros((4, 8, 3), int)
    for y in range(4):
        for x in range(8):
            owner = int(grid[y * grid.shape[0] // 4, x * grid.shape[1] // 8])
            pixel = [int(value) for value in result.mixed[row, :, y, x]]
            lightness = sum(pixel) / len(pixel)
            for channel in range(3):
                mixed[y, x, channel] = 190 if owner == NOBODY else pixel[channel % len(pixel)]
                tinted = 0.65 * image_grid.COLORS[owner][channel] + 0.35 * lightness
                whose[y, x, channel] = 190 if owner == NOBODY else round(tinted)
    return mixed, whose


def test_titles_for_any_number_of_sources():
    titles = [[panel.title for panel in image_grid.panels_of(random_result(1, k))[0]] for k in (1, 2, 3)]
    assert titles[0] == ['original', 'encoder sees', 'reconstruction']
    middle = ['mixture', 'whose cell']
    assert titles[1] == ['original 1', 'original 2', *middle, 'reconstruction 1', 'reconstruction 2']
    assert titles[2][2:6] == ['original 3', *middle, 'reconstruction 1']


@pytest.mark.parametrize('maps', [1, 2])
@pytest.mark.parametrize(('channels', 'num_sources'), [(3, 1), (3, 2), (3, 4), (1, 2), (1, 1)])
def test_every_panel_holds_its_image_enlarged_pixel_by_pixel(channels, num_sources, maps):
    result = random_result(2, num_sources, channels, maps=maps)
    canvas = image_grid.draw_rows(result, 'caption')
    for row in range(2):
        originals, reconstructions = (
            [image.expand(3, 4, 8).permute(1, 2, 0).numpy() for image in images[row]]
            for images in (result.sources, result.reconstructed)
        )
        middle = seen_by_loops(result, row)[: 1 if num_sources == 1 else 2]
        for column, image in enumerate([*originals, *middle, *reconstructions]):
            assert abs(shown_pixels(canvas, row, column) - image).max() <= (column == num_sources + 1)  # rounding


def test_map_of_one_mixture_by_hand():
    white = torch.full((1, 4, 3, 2, 2), 255, dtype=torch.uint8)
    result = Reconstructions(white, white[:, 0], white, torch.tensor([[[3, 0], [NOBODY, 2]]]))
    whose = image_grid.panels_of(result)[0][5].image
    assert whose[:, 0, 0].tolist() == [226, 128, 193]  # 0.65 * (210, 60, 160) + 0.35 * 255
    assert whose[:, 0, 1].tolist() == [89, 154, 219]
    assert whose[:, 1, 0].tolist() == [190, 190, 190]
    assert whose[:, 1, 1].tolist() == [89, 193, 148]


def test_originals_and_reconstructions_are_framed_in_the_colors_of_the_map():
    canvas = image_grid.draw_rows(random_result(2, 3), 'caption')
    for row in range(2):
        for column, source in [(0, 0), (1, 1), (2, 2), (3, None), (4, None), (5, 0), (6, 1), (7, 2)]:
            x, y = image_grid.panel_place(row, column, (256, 128))
            around = np.asarray(canvas.crop((x - 4, y - 4, x + 256 + 4, y + 128 + 4))).astype(int)
            for frame in (around[1:4], around[-4:-1], around[:, 1:4].swapaxes(0, 1), around[:, -4:-1].swapaxes(0, 1)):
                expected = (255, 255, 255) if source is None else image_grid.COLORS[source]
                assert (frame[:, 4:-4] == expected).all()
            assert (around[[0, -1]][:, 4:-4] == 255).all()


def test_one_source_is_not_framed():
    canvas = np.asarray(image_grid.draw_rows(random_result(1, 1), 'caption'))
    top, bottom = image_grid.HEADER, image_grid.HEADER + 128
    assert canvas.shape[1] == 3 * 256 + 4 * image_grid.GAP
    assert all((canvas[top:bottom, 256 * i + image_grid.GAP * i :][:, : image_grid.GAP] == 255).all() for i in range(4))


def test_colors_stay_apart_whatever_the_lightness_of_an_image_adds():
    colors = torch.tensor([image_grid.color_of(source) for source in range(8)], dtype=torch.float32)
    hues = colors - colors.mean(dim=1, keepdim=True)
    assert torch.pdist(hues).min() > 60
    assert torch.pdist(hues[:4]).min() > 100
    assert hues.norm(dim=1).min() > 100  # from gray
    assert image_grid.color_of(9) == image_grid.color_of(1)


def test_large_images_are_not_enlarged_and_text_stays_outside_the_panels():
    blank = torch.full((1, 2, 3, 160, 160), 255, dtype=torch.uint8)
    result = Reconstructions(blank, blank[:, 0], blank, torch.zeros(1, 1, 1).long())
    canvas = image_grid.draw_rows(result, 'a caption ' * 30)
    ink = np.asarray(canvas.convert('L')) < 250
    top, bottom = image_grid.HEADER, image_grid.HEADER + 160
    assert canvas.width == 6 * 160 + 7 * image_grid.GAP
    assert ink[: top - image_grid.FRAME].any()
    assert ink[bottom + image_grid.FRAME :].any()
    assert not ink[:, -image_grid.GAP + image_grid.FRAME :].any()
    for column in (0, 1, 2, 4, 5):
        x, y = image_grid.panel_place(0, column, (160, 160))
        assert not ink[y : y + 160, x : x + 160].any()


def test_mae_sees_of_an_image_what_is_visible_and_the_rest_is_gray(five_images):
    pixels = five_images[1][:2]
    result = reconstruct(build(tiny_mixedae, num_sources=1, mask_ratio=0.75), pixels.float(), seed=1)
    assert torch.equal(result.sources[:, 0], pixels)
    assert not torch.equal(*result.assignment)
    canvas = image_grid.draw_rows(result, 'caption')
    for row in range(2):
        seen = np.asarray(cut_panel(canvas, row, 1, (128, 128)))[::4, ::4]
        hidden = np.repeat(np.repeat(result.assignment[row].numpy() == NOBODY, CELL, 0), CELL, 1)
        assert hidden.sum() == 12 * CELL**2
        assert (seen[hidden] == 190).all()
        assert (seen[~hidden] == pixels[row].permute(1, 2, 0).numpy()[~hidden]).all()


@pytest.mark.parametrize(
    ('method', 'settings', 'said'),
    [
        (None, dict(), '2 images a mixture, cells of 8 px, 50% of each masked. A'),
        (None, dict(mask_ratio=0.25), '2 images a mixture, cells of 8 px, 25%, 75% of originals 1 to 2 masked. A'),
        (None, dict(take_turns=False, shared_assignment=False), '2 images a mixture, cells of 8 px, 50% of each mas'),
        (tiny_mixedae, dict(), '4 images a mixture, cells of 8 px, 75% of each masked. A'),
        (tiny_mixedae, dict(take_turns=True), '4 images a mixture, cells of 8 px, 75% of each masked. A'),
        (
            tiny_mixedae,
            dict(shares=(0.5, 0.25, 0.125, 0.125)),
            '4 images a mixture, cells of 8 px, 50%, 75%, 88%, 88% of originals 1 to 4 masked. A',
        ),
        (
            tiny_mixedae,
            dict(num_sources=2, shares=(0.25, 0.25)),
            '2 images a mixture, cells of 8 px, 75% of each masked. 50% of the cells belong to no source (gray). A',
        ),
        (tiny_mixedae, dict(num_sources=1, mask_ratio=0.75), 'Cells of 8 px, 75% of them masked (gray). Rec'),
    ],
)
def test_caption_says_how_much_is_masked_of_which_image(five_images, method, settings, said):
    model = build(**settings) if method is None else build(method, **settings)
    caption = image_grid.describe(model, reconstruct(model, five_images[1][:4].float(), 0))
    assert caption.startswith(said)


def test_caption_says_what_flatters_only_with_norm_pix(five_images):
    for norm_pix in (True, False):
        model = build(norm_pix=norm_pix)
        caption = image_grid.describe(model, reconstruct(model, five_images[1][:2].float(), 0))
        assert ('mean and standard deviation of its original' in caption) == norm_pix
