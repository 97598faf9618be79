"""The command `tasktape`: one plain function per command."""
