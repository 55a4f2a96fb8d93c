"""`python -m crosswire.proxy`: the same as the command `crosswire`."""

from .cli.main import main

raise SystemExit(main())
