"""Pages of the site beside docs/: README as its start page, the walkthrough, the reference of the package.

mkdocs calls the functions that begin with `on_`, because mkdocs.yml names this file. The reference has one page for
each public module or sub-package that is found in the package. Links that leave docs/ lead to copies under `files/` in
the site.
"""

import base64
import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / 'docs'
PACKAGE = ROOT / 'mixmae_mm'
PAGES = {'README.md': 'index.md', 'CHANGELOG.md': 'changelog.md', 'CONTRIBUTING.md': 'contributing.md'}
"""Pages that lie outside docs/, and what the site calls them."""
LINK = re.compile(r'(?<=\]\()(?!\w+:|#)([^)#\s]+)')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the reference to the navigation."""
    config.nav.append({'Reference': [{name: f'api/{name}.md'} for name in public_modules()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the linked files outside docs/."""
    made = {site: relink((ROOT / own).read_text(), ROOT) for own, site in PAGES.items()}
    made |= {f'api/{name}.md': f'# mixmae_mm.{name}\n\n::: mixmae_mm.{name}\n' for name in public_modules()}
    for page in [*(ROOT / own for own in PAGES), *DOCS.glob('*.md')]:
        linked = (from_root(target, page.parent) for target in LINK.findall(page.read_text()))
        outside = (path for path in linked if not path.startswith('docs/') and path not in PAGES)
        made |= {f'files/{path}': (ROOT / path).read_bytes() for path in outside if (ROOT / path).is_file()}
    for notebook in DOCS.glob('*.ipynb'):
        made |= notebook_page(notebook)
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: object, **others: object) -> str:
    """Point the links of a page in docs/ to where their targets are in the site."""
    return markdown if page.file.generated_by else relink(markdown, DOCS)


def public_modules() -> list[str]:
    """List the modules and sub-packages of the package, without private ones."""
    entries = [*PACKAGE.glob('*.py'), *(found.parent for found in PACKAGE.glob('*/__init__.py'))]
    return sorted(entry.stem for entry in entries if not entry.stem.startswith('_'))


def relink(text: str, folder: Path) -> str:
    """Rewrite the relative links of a page that lies in `folder` for the top folder of the site."""

    def moved(found: re.Match) -> str:
        path = from_root(found[1], folder)
        inside = path.removeprefix('docs/').replace('.ipynb', '.md')
        return PAGES.get(path) or (inside if path.startswith('docs/') else f'files/{path}')

    return LINK.sub(moved, text)


def from_root(target: str, folder: Path) -> str:
    """Return the target of a link relative to the root."""
    return (folder / target).resolve().relative_to(ROOT).as_posix()


def notebook_page(notebook: Path) -> dict[str, bytes | str]:
    """Return a notebook as a page, and its images, by file name."""
    made, parts = {}, []
    for number, cell in enumerate(json.loads(notebook.read_text())['cells']):
        source = ''.join(cell['source'])
        parts.append(relink(source, DOCS) if cell['cell_type'] == 'markdown' else f'```python\n{source}\n```')
        for place, output in enumerate(cell.get('outputs', [])):
            data = output.get('data', {})
            if 'image/png' in data:
                name = f'{notebook.stem}/{number}_{place}.png'
                made[name] = base64.b64decode(data['image/png'])
                parts.append(f'![Output of the cell above]({name})')
            else:
                parts.append(f'```text\n{"".join(output.get("text") or data["text/plain"]).rstrip()}\n```')
    return made | {f'{notebook.stem}.md': '\n\n'.join(parts) + '\n'}
