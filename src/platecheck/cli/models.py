"""Shell completion of model arguments."""

from pathlib import Path


def complete_model(incomplete: str) -> list[str]:
    """Complete the names of shipped models, exported files and folders."""
    from platecheck.classifier import BUNDLED_MODELS, DEFAULT

    names = [name for name in (*BUNDLED_MODELS, DEFAULT) if name.startswith(incomplete)]
    head, slash, start = incomplete.rpartition("/")
    folder = Path(head + slash) if slash else Path()
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return names
    found = [e for e in entries if e.name.startswith(start) and (start or e.name[0] != ".")]
    folders = [f"{head}{slash}{entry.name}/" for entry in found if entry.is_dir()]
    return names + folders + [f"{head}{slash}{e.name}" for e in found if e.suffix == ".onnx"]
