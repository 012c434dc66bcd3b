"""Reads everything.parquet with pyarrow and pandas and compares it with everything.json.

Run it after the file was written anew: python check_parquet.py
"""

import json
import math
import pathlib

import pandas
import pyarrow.parquet

folder = pathlib.Path(__file__).parent
rows = json.loads((folder / "everything.json").read_text())
table = pyarrow.parquet.read_table(folder / "everything.parquet")
print(table.schema)
assert table.num_rows == len(rows)
for name in table.column_names:
    for value, row in zip(table[name].to_pylist(), rows, strict=True):
        expected = row[name]
        reason = row.get(name + "_reason")
        if reason in ("NaN", "inf", "-inf"):
            expected = float(reason)
        if name == "config" and value is not None:
            value = json.loads(value)
        same = value == expected or (isinstance(value, float) and math.isnan(value) and math.isnan(expected))
        assert same, (name, value, expected)
metadata = pyarrow.parquet.read_metadata(folder / "everything.parquet")
statistics = metadata.row_group(0).column(0).statistics
assert (statistics.min, statistics.max, statistics.null_count) == (1, 4, 0)
print(pandas.read_parquet(folder / "everything.parquet"))
