import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from mixmae_mm.visualization.pages import Figure, page_of

NASTY = '<b>&"quotes"\'/ümläut.jpg'


class Reader(HTMLParser):
    """Which tags with which attributes a page has, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ''
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_page_holds_its_images_and_fetches_nothing():
    images = np.random.default_rng(0).integers(100, 110, (2, 40, 40, 3), dtype=np.uint8)
    images[1] += 100
    figures = [Figure(image, f'{number}', NASTY) for number, image in enumerate(images)]
    page = Reader(page_of('Title <1>', 'caption & more', [figures, figures[:1]]))
    shown = [attributes for tag, attributes in page.tags if tag == 'img']
    assert len(shown) == 3
    for attributes, image in zip(shown, images[[0, 1, 0]], strict=True):
        kind, content = attributes['src'].split(',')
        assert kind == 'data:image/jpeg;base64'
        read = np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)
        assert abs(read - image).mean() < 6
        assert attributes['title'] == attributes['alt'] == NASTY
    assert [tag for tag, _ in page.tags].count('div') == 2
    assert [tag for tag, _ in page.tags].count('b') == 3  # the headings; none from a name
    assert page.text.count(NASTY) == 3
    assert 'Title <1>' in page.text
    assert 'caption & more' in page.text
    assert not {'script', 'link', 'a'} & {tag for tag, _ in page.tags}


def test_large_images_become_thumbnails():
    page = page_of('', '', [[Figure(np.zeros((600, 1200, 3), np.uint8), '', '')]])
    content = page.split('base64,')[1].split('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (260, 130)
