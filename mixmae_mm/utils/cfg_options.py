"""Settings given as `--cfg-options a.b=value`, each parsed according to the value that it replaces.

`None` is always None. Paths are taken as typed, and so is text that replaces a string, with all its blanks, commas and
digits, unless it is in brackets, and each word of a list of names. Anything else is parsed as in mmengine, but a string
cannot replace a number, nor a list a number with a decimal point.
"""

import ast
import logging
import re

from mmengine.config import Config, DictAction
from mmengine.logging import print_log

from mixmae_mm.utils.config_keys import check_options, current_value

PATH = re.compile(r'(?:^|[_.])(?:root|dir|path|file|folder|checkpoint|from|prefix)s?$|^data_prefix\.')
"""Pattern for the last parts of keys whose values are paths."""
NAMES = re.compile(r'(?:^|\.)classes$')
"""Pattern for keys whose values are lists of names."""
DECIDING = ('.type', '._delete_', 'train_cfg.by_epoch')
"""Last parts of keys that decide which other settings are valid."""
KEYWORDS = ('auto', 'dynamic')
"""Strings that configs may have in place of a number."""


def put_options(config: Config, options: dict[str, str]) -> None:
    """Override settings of a config by those of the command line."""
    types = {key: text for key, text in options.items() if key.endswith(DECIDING)}
    others = {key: text for key, text in options.items() if key not in types}
    for part in (types, others):  # what else a part of the config takes depends on its type
        for warning in check_options(config, part):
            print_log(warning, level=logging.WARNING)
        values = {key: read_value(key, text, current_value(config, key)) for key, text in part.items()}
        config.merge_from_dict(values)


def read_value(key: str, text: str, old: object) -> object:
    """Parse the value of a setting, which replaces `old` (None if there was no value)."""
    if text == 'None':
        return None
    if not isinstance(old, dict | list | tuple) and PATH.search('.'.join(key.split('.')[-2:])):
        return text
    if isinstance(old, str) and old not in KEYWORDS and not _is_bracketed(text):
        return text
    words = isinstance(old, list | tuple) and old and all(isinstance(item, str) for item in old)
    if (words or NAMES.search(key)) and (',' in text or _is_bracketed(text)) and text[0] != '{':
        return (tuple if text[0] == '(' or (isinstance(old, tuple) and text[0] != '[') else list)(_split(text))
    try:
        value = _guess(text)
    except RecursionError as error:  # mmengine's answer to brackets that it cannot match
        raise ValueError(f'{key}={text} is no number, list, dict or plain string: write it out') from error
    one = isinstance(old, float) and isinstance(value, list | tuple)  # as with a comma for the decimal point
    if one or (isinstance(old, bool | int | float) and isinstance(value, str)):
        raise ValueError(f'{key} is {old!r} in the config and takes a value of type {type(old).__name__}, got {text!r}')
    if isinstance(old, list | tuple) and isinstance(value, list | tuple):
        return type(value if _is_bracketed(text) else old)(value)
    return value


def _guess(text: str) -> object:
    """Parse text of unknown type: a number, a constant, a list, a dict, or a string."""
    try:
        value = ast.literal_eval(text)
        return list(value) if isinstance(value, tuple) and not _is_bracketed(text) else value
    except (ValueError, SyntaxError, TypeError):
        pass
    if not _is_bracketed(text) and (',' not in text or set(text) & set('/\\{')):
        return DictAction._parse_int_float_bool(text)
    return _split(text) if re.search(r'\w \w', text) else DictAction._parse_iterable(text)  # which removes blanks


def _split(text: str) -> list[str]:
    """Split a list of words at its commas, without brackets and quotes."""
    words = [word.strip(' \'"') for word in text.strip('[]()').split(',')]
    return words if words[-1] else words[:-1]


def _is_bracketed(text: str) -> bool:
    """Return whether a text is enclosed in round or square brackets."""
    return text[:1] + text[-1:] in ('()', '[]')
