"""The notebook runs from its first cell to its last, and shows the report's answer, a table and a figure."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "two_variants.ipynb"
SHORT = 'EPOCHS = 1\nSEEDS = "0"\nOUT = "runs"'


def test_the_notebook_is_stored_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) < 20
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.source


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of Jupyter's own
def test_the_notebook_shows_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    if os.environ.get("HYBRIDNETS_LONG") != "1":
        cells["settings"].source = SHORT
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_ALLOW_INSECURE_WRITES", "true")
    kernel = tmp_path / "jupyter" / "kernels" / "python3"  # of this environment, whatever is installed for the user
    kernel.mkdir(parents=True)
    command = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernel / "kernel.json").write_text(f'{{"argv": {command}, "display_name": "Python 3", "language": "python"}}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()

    def shown(name: str, kind: str) -> str:
        (output,) = cells[name].outputs
        return str(output.text if kind == "stream" else output.data[kind])

    answer = shown("answer", "stream")
    assert "Is ecnn better than cnn by its test accuracy" in answer
    assert "ecnn reached " in answer
    assert "ecnn" in shown("table", "text/markdown")
    assert "<svg" in shown("figure", "image/svg+xml")
    assert shown("page", "stream").strip() == (tmp_path / "runs/digits/report/index.html").as_uri()
    labels = eval(shown("predict", "text/plain"))
    assert len(labels) == 8
    assert set(labels) <= set(range(10))
