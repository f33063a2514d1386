"""From what the user names (CSV, folder, ``.npz``, ``.ts``, ``tfds:NAME``) to one validated, immutable Table.

    table = read_table("photos.csv")  # of images, or by its columns of texts or series
    table.labelled("train")           # rows of the table, (k,) int64
    table.rejected                    # what could not be used, and why

Nothing here loads TensorFlow, except that reading ``tfds:NAME`` does.
"""

from toolkit.tables.errors import TableError
from toolkit.tables.reading import read_table
from toolkit.tables.table import RejectedRow, Table

__all__ = ["RejectedRow", "Table", "TableError", "read_table"]
