"""Find an embodiment's YAML file by name or path and read it into an Embodiment.

Works without ROS. Refuses to know what the keys mean, which is core/embodiment.py's part.
"""

from collections.abc import Mapping
from pathlib import Path

from gr00t_ros.core.embodiment import Embodiment, parse
from gr00t_ros.core.errors import EmbodimentError
from gr00t_ros.sidecar.yaml_file import config_folders, find_yaml, line_of, read_yaml

TAG = "tag:"


def embodiment_folders() -> tuple[Path, ...]:
    """Return the folders searched for NAME.yaml, first one first (`config_folders`)."""
    return config_folders("embodiments")


def find_embodiment(name_or_path: str) -> Path:
    """Return the file for a bare name such as ``franka_droid``, a path, or ``tag:EMBODIMENT_TAG``.

    Anything with a folder in it or ending in .yaml or .yml is a path. Raises EmbodimentError
    that names every folder searched and the names found there.
    """
    if name_or_path.startswith(TAG):
        return find_embodiment_of_tag(name_or_path.removeprefix(TAG))
    return find_yaml(name_or_path, embodiment_folders(), "embodiment", EmbodimentError)


def find_embodiment_of_tag(tag: str) -> Path:
    """Return the one file whose embodiment_tag is `tag`; of two of one name the first folder's.

    A file that says of which other it is a variant (`variant_of`) is taken by its name only.
    Raises EmbodimentError where there is none or more than one.
    """
    files: dict[str, Path] = {}
    for folder in embodiment_folders():
        for path in sorted(folder.glob("*.yaml")):
            files.setdefault(path.name, path)
    found = [path for path in files.values() if _goes_by(tag, _read_mapping(path))]
    if len(found) == 1:
        return found[0]
    named = ", ".join(map(str, found)) or f"none of {', '.join(sorted(files)) or 'no files'}"
    raise EmbodimentError(f"embodiment tag {tag!r:.80}: expected one file that has it, got {named}")


def _goes_by(tag: str, content: Mapping[str, object]) -> bool:
    return content.get("embodiment_tag") == tag and "variant_of" not in content


def load_embodiment(name_or_path: str) -> Embodiment:
    """Read the embodiment of that name or path.

    Raises EmbodimentError naming the file and the line of what is wrong.
    """
    path = find_embodiment(name_or_path)
    mapping = _read_mapping(path)
    try:
        return parse(mapping, str(path))
    except EmbodimentError as error:
        line = line_of(path, error.place) if error.place else None
        if line is None:
            raise
        text = str(error).replace(f"{path}:", f"{path}:{line}:", 1)
        raise EmbodimentError(text, error.place) from error


def _read_mapping(path: Path) -> dict[str, object]:
    return read_yaml(path, "an embodiment", EmbodimentError)
