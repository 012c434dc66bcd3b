"""mergekit-yaml with a current transformers, whose configuration class names torch only for type checkers."""

import sys

import torch
import mergekit.architecture.base as base
from mergekit.scripts.run_yaml import main

for model in (base.ConfiguredModuleArchitecture, base.ConfiguredModelArchitecture):
    model.model_rebuild(force=True, _types_namespace={**vars(base), "torch": torch})

if __name__ == "__main__":
    sys.exit(main())
