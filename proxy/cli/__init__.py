"""The command line `crosswire`: one module for each command, their arguments, exit codes and output."""
