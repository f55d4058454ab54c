"""The one filter language of command line, API, console and bulk actions.

`parse("state:failed job:sync_* age:>2h", "runs")` gives a Filter; `Filter.where()` its conditions on the table of that
resource, `Filter.text` how it is best written. `callboard.ledger.pages` lists and counts what fits.
"""

from callboard.filters._filter import Filter, Term, parse
from callboard.filters._suggest import suggest
from callboard.filters.fields import FIELDS, RESOURCES, Field, Resource

__all__ = ["FIELDS", "RESOURCES", "Field", "Filter", "Resource", "Term", "parse", "suggest"]
