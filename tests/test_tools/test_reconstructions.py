import numpy as np
import pytest
import torch
from PIL import Image
from tiny_mixmae import tiny_mixedae, write_files
from tool_loading import load_tool

from mixmae_mm.structures import Reconstructions
from mixmae_mm.visualization import image_grid

tool = load_tool('visualization/reconstructions.py')


def cut_panel(canvas, row, column, size):
    x, y = image_grid.panel_place(row, column, size)
    return canvas.crop((x, y, x + size[0], y + size[1]))


def test_command_line_draws_the_configs_own_images(five_images, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path)
    tool.main([config, checkpoint, '--out', str(tmp_path / 'new/out.png'), '--num-images', '2'])
    assert 'out.png: 2 mixture(s) of 2 images each' in capsys.readouterr().out
    with Image.open(tmp_path / 'new/out.png') as canvas:
        panel = cut_panel(canvas, 0, 0, (128, 128)).resize((32, 32), Image.Resampling.NEAREST)
    found = torch.from_numpy(np.array(panel)).permute(2, 0, 1)
    assert any(torch.equal(found, one) for one in five_images[1])


@pytest.mark.parametrize(('num_sources', 'said'), [(4, '1 mixture(s) of 4 images each'), (1, '4 image(s)')])
def test_command_line_draws_mixedae_and_mae(five_images, tmp_path, capsys, num_sources, said):
    hidden = dict(mask_ratio=0.5) if num_sources == 1 else {}
    config, checkpoint = write_files(tmp_path, tiny_mixedae, num_sources=num_sources, **hidden)
    files = ['--images', *five_images[0][:4]]
    tool.main([config, checkpoint, *files, '--out', str(tmp_path / 'out.png'), '--num-images', '4'])
    assert f'out.png: {said}. This flatters' in capsys.readouterr().out
    places = [(0, 0), (0, 1), (0, 2), (0, 3)] if num_sources == 4 else [(0, 0), (1, 0), (2, 0), (3, 0)]
    with Image.open(tmp_path / 'out.png') as canvas:
        for place, image in zip(places, five_images[1], strict=False):
            panel = np.asarray(cut_panel(canvas, *place, (128, 128)))[::4, ::4]
            assert (panel == image.permute(1, 2, 0).numpy()).all()


def test_config_without_a_folder_asks_for_images(tmp_path):
    config, checkpoint = write_files(tmp_path)
    with pytest.raises(SystemExit, match='names no train_dataloader.dataset.data_root: give --images'):
        tool.main([config, checkpoint, '--cfg-options', 'train_dataloader.dataset.data_root='])


def test_checkpoint_of_another_model_is_refused(five_images, tmp_path):
    config, checkpoint = write_files(tmp_path)
    with pytest.raises(SystemExit, match='checkpoint.pth is of another model than .*config.py'):
        tool.main([config, checkpoint, '--cfg-options', 'model.neck.depth=2'])
    with pytest.raises(SystemExit, match='there is no checkpoint .*missing.pth'):
        tool.main([config, str(tmp_path / 'missing.pth')])
    with pytest.raises(SystemExit, match='config.py is not a pre-training config'):
        tool.main([config, checkpoint, '--cfg-options', 'model.data_preprocessor._delete_=True'])


def test_ratios_are_rows_of_each_mixture(five_images, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path)
    arguments = ['--images', *five_images[0][:4], '--ratios', '0.25', '0.75', '--out', str(tmp_path / 'out.png')]
    tool.main([config, checkpoint, *arguments])
    assert 'out.png: 2 mixture(s) of 2 images each' in capsys.readouterr().out
    with Image.open(tmp_path / 'out.png') as canvas:
        assert canvas.width == image_grid.panel_place(0, 6, (128, 128))[0] + image_grid.MARGIN
        sheet = canvas.crop((image_grid.MARGIN, 0, *canvas.size))
        for row, lead in enumerate((0, 0, 2, 2)):
            originals = [np.asarray(cut_panel(sheet, row, k, (128, 128)))[::4, ::4] for k in range(2)]
            seen = np.asarray(cut_panel(sheet, row, 2, (128, 128)))[::4, ::4]
            for k in range(2):
                assert (originals[k] == five_images[1][lead + k].permute(1, 2, 0).numpy()).all()
            shares = [(seen == original).all(-1).mean() for original in originals]
            assert np.allclose(shares, [0.75, 0.25] if row % 2 == 0 else [0.25, 0.75], atol=0.01)
        assert (np.asarray(canvas)[:, : image_grid.MARGIN].min(2) < 200).any()


def test_labels_say_how_much_is_hidden():
    assignment = torch.tensor([[[0, 0], [0, 1]], [[1, 1], [1, 1]]])
    blank = torch.zeros(2, 2, 3, 4, 4, dtype=torch.uint8)
    result = Reconstructions(blank, blank[:, 0], blank, assignment)
    assert image_grid.masked_labels(result) == ['masked\n25%\n75%', 'masked\n100%\n0%']


def test_other_numbers_of_images_in_a_mixture(five_images, tmp_path, capsys):
    config, checkpoint = write_files(tmp_path)
    files = ['--images', *five_images[0][:4], '--out', str(tmp_path / 'out.png')]
    tool.main([config, checkpoint, *files, '--num-sources', '4'])
    assert 'out.png: 1 mixture(s) of 4 images each' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='error: a masking ratio of 1.5: give a share above 0 and below 1'):
        tool.main([config, checkpoint, *files, '--mask-ratio', '1.5'])
