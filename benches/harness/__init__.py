"""What the measuring scripts share.

The names that most scripts need are here. The other parts are `load` (wrk and h2load), `experiments` (what several
scripts measure), `peers` (the programs of benches/peers) and `delayed_link` (a network with a delay).
"""

from .client import Answer, Client, connect, request
from .errors import Missing, Wrong
from .server import (
    Exit,
    LOAD_CORE,
    PROGRAMS,
    Program,
    RELEASE,
    ROOT,
    SERVER_CORE,
    Server,
    adieu,
    built,
    client_of,
    free_ports,
    go_original,
    name_of,
    need_descriptors,
    serve,
    tool,
)
from .table import Figure, MB, Report, arguments, counted, exactly, main, prepare, say, spread
