"""The parameters of the verbs: their spelling on the command line, their environment variables, their help.

Each name is the type of a verb's parameter: `def issue(cli: Invocation, task: options.Task = None) -> None`. Verbs
import this package for type checking only: it needs Typer, and a plain line of `issue` runs without Typer.
A selector or a guard rail has no environment variable: a selection of credentials to end must be on the line.
"""

from jitid.cli.options.adopt_options import *  # noqa: F403 - one namespace for all verbs
from jitid.cli.options.backup_options import *  # noqa: F403 - as above
from jitid.cli.options.directory_options import *  # noqa: F403 - as above
from jitid.cli.options.issue_options import *  # noqa: F403 - as above
from jitid.cli.options.ledger_options import *  # noqa: F403 - as above
from jitid.cli.options.read_options import *  # noqa: F403 - as above
from jitid.cli.options.revoke_options import *  # noqa: F403 - as above
from jitid.cli.options.scan_options import *  # noqa: F403 - as above
from jitid.cli.options.serve_options import *  # noqa: F403 - as above
