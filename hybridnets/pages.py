"""What all pages of HTML have in common: names from files are escaped, and a value that a template lacks is an error."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def environment(package: str, extensions: Sequence[str] = ()) -> "jinja2.Environment":
    """Where the templates of a package are rendered.

    Args:
        package: The package, in whose folder they lie.
        extensions: Jinja2's extensions that they use.

    Raises:
        ModuleNotFoundError: If Jinja2 is not installed.
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=list(extensions),
    )
