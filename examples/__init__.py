"""Scripts to start from: written as any ClearML script is, with `tasktape` in the import line."""
