import numpy as np
import pytest
from tiny_mixmae import tiny_mixedae, tiny_model, write_files
from tool_loading import load_tool

from mixmae_mm.apis import FeatureExtractor

tool = load_tool('analysis_tools/extract_features.py')


@pytest.mark.parametrize('method', [tiny_model, tiny_mixedae])
def test_what_is_written_is_what_the_extractor_computes(five_images, tmp_path, capsys, method):
    files, _ = five_images
    config, checkpoint = write_files(tmp_path, method)
    extract = FeatureExtractor.from_config(config, checkpoint, image_size=64)
    for kind in ('pooled', 'tokens'):
        out = tmp_path / 'my features' / f'{kind}.npz'
        tool.main([config, checkpoint, '--images', str(tmp_path / 'images'), '--out', str(out), '--kind', kind,
                   '--image-size', '64', '--batch-size', '5', '--device', 'cpu'])  # fmt: skip
        assert capsys.readouterr().out.endswith(f'{out}\n')
        written = np.load(out)
        assert written['names'].tolist() == files
        np.testing.assert_array_equal(written['features'], extract(files, kind))


def test_a_file_of_another_kind_is_refused(five_images, tmp_path):
    config, checkpoint = write_files(tmp_path)
    with pytest.raises(SystemExit, match=r'features.csv should end in .npz'):
        tool.main([config, checkpoint, '--images', *five_images[0], '--out', str(tmp_path / 'features.csv')])
