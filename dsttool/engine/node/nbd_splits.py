"""Splits: requests that a server takes only as several, and what has come of their pieces.

A request that changes something and is cut in pieces is done once all of them were answered over one
connection: what an earlier one had taken may be lost with the server's memory. So when the connection
is lost, the pieces it had answered are sent again, and the flush that stands for FUA comes after them.
"""

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd_dialect import Dialect, Piece
from dsttool.engine.vocabulary.operations import FLUSH, READ


class Splits:
    """The requests of one node that are under way as pieces: for each, those that were answered."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._answered: dict[Request, list[Piece]] = {}

    def __len__(self) -> int:
        return len(self._answered)

    def begin(self, request: Request) -> list[Piece]:
        """The pieces to send. None: the request is finished, see its error."""
        pieces = self._dialect.pieces(request)
        if pieces:
            self._answered[request] = []
        return pieces

    def gather(self, answered: list[Request]) -> tuple[list[Request], list[Piece]]:
        """Give answers to the requests they are for: those that are finished, and pieces to send now."""
        finished: list[Request] = []
        epilogues: list[Piece] = []
        for piece in answered:
            if type(piece) is not Piece:
                finished.append(piece)
                continue
            parent = piece.parent
            if piece.error:
                parent.error = parent.error or piece.error
            elif piece.op == READ:
                parent.data[piece.cookie] = piece.data
            elif piece.op != FLUSH:
                self._answered[parent].append(piece)
            parent.pending -= 1
            if parent.pending:
                continue
            epilogue = None
            if not parent.error and piece.op != FLUSH:
                epilogue = self._dialect.epilogue(parent)
            if epilogue is None:
                del self._answered[parent]
                finished.append(parent)
            else:
                epilogues.append(epilogue)
        return finished, epilogues

    def again(self, flushes: list[Piece]) -> list[Piece]:
        """The connection is lost: what to send again of what it had answered.

        flushes: the epilogues that were to be sent or had no answer; they will come anew.
        """
        for flush in flushes:
            flush.parent.pending -= 1
        pieces: list[Piece] = []
        for parent, answered in self._answered.items():
            if not parent.error:
                parent.pending += len(answered)
                pieces += answered
                answered.clear()
        return pieces

    def forget(self, request: Request) -> bool:
        """The request was given up; whether it was under way as pieces."""
        return self._answered.pop(request, None) is not None
