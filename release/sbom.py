"""The software bill of materials of one installation, as CycloneDX 1.6 in JSON.

Written when it is asked for, of what is installed beside this interpreter: it belongs to one
machine or one image, not to the sources. Needs cyclonedx-python-lib.
"""

from __future__ import annotations

from collections.abc import Iterable

import gr00t_ros
from gr00t_ros.errors import SettingsError
from release.packages import SEE_FILE, Package, installed
from release.requirements import optional, runtime

NEEDED = 'pip install "cyclonedx-python-lib[json-validation]"'


def document() -> str:
    """The bill of gr00t_ros with what is installed of its requirements, optional ones too.

    Raises SettingsError where the library is missing or a requirement of every installation is.
    """
    needed, missing = installed(runtime())
    if missing:
        raise SettingsError(
            f"not installed here: {', '.join(missing)}; pip install gr00t_ros first"
        )
    more, _ = installed(optional())
    packages = {one.name: one for one in (*needed, *more)}
    return bill(packages.values())


def bill(packages: Iterable[Package]) -> str:
    """The bill of gr00t_ros with these packages."""
    try:
        from cyclonedx.contrib.license.factories import LicenseFactory
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
        from packageurl import PackageURL
    except ImportError as error:
        raise SettingsError(f"{error.name} is not installed: {NEEDED}") from None
    from packaging.utils import canonicalize_name

    def component(one: Package) -> Component:
        stated = () if one.license == SEE_FILE else (one.license,)
        name = canonicalize_name(one.name)
        return Component(
            name=one.name,
            version=one.version,
            type=ComponentType.LIBRARY,
            licenses=[LicenseFactory().make_from_string(text) for text in stated],
            bom_ref=name,
            purl=PackageURL("pypi", None, name, one.version),
        )

    root = Package("gr00t_ros", gr00t_ros.__version__, "Apache-2.0", "")
    whole = Bom()
    whole.metadata.component = component(root)
    found = {canonicalize_name(one.name): (one, component(one)) for one in packages}
    for one, made in found.values():
        whole.components.add(made)
        whole.register_dependency(
            made, [found[name][1] for name in map(canonicalize_name, one.needs) if name in found]
        )
    whole.register_dependency(whole.metadata.component, [made for _, made in found.values()])
    text: str = JsonV1Dot6(whole).output_as_string(indent=2)
    return text
