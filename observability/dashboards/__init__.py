"""The Grafana dashboards as code: one module per dashboard, built into grafana/dashboards/*.json.

build.py puts them together; a dashboard is a `Page` of rows of panels (page.py, panels.py, table.py), with queries of
query.py and links of links.py. Names of metrics and labels are those of observability/catalogue.py.
"""

import warnings

try:
    with warnings.catch_warnings():
        # It prefers schema v2, which Grafana 11 and 12 do not read; 13 still reads v1, and turns it into v2 itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        import grafana_foundation_sdk.models.dashboard as _sdk  # noqa: F401 - imported here first, so that it is quiet
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("Dashboards are built with Grafana's SDK: pip install 'callboard[grafana]'.") from error
