"""The parameters of the verbs: their spelling on the command line, their variables, their help.

Each is the type of a verb's parameter: `def issue(given: Globals, task: options.Task = None) -> None`. Verbs
import this package for type checking only, since it needs Typer, which a plain line of `issue` may do without.
A selector or a guard rail has no environment variable: what ends credentials stands on the line.
"""

from jitid.commands.options.adopting import *  # noqa: F403 - one namespace for all verbs
from jitid.commands.options.ending import *  # noqa: F403 - as above
from jitid.commands.options.governing import *  # noqa: F403 - as above
from jitid.commands.options.issuing import *  # noqa: F403 - as above
from jitid.commands.options.keeping import *  # noqa: F403 - as above
from jitid.commands.options.looking import *  # noqa: F403 - as above
from jitid.commands.options.moving import *  # noqa: F403 - as above
from jitid.commands.options.scanning import *  # noqa: F403 - as above
from jitid.commands.options.serving import *  # noqa: F403 - as above
