"""One file a question. Each has TITLE, ABOUT, AIMS, HIGHLIGHTS, and ``cases(quick)``,
``prepare(adapter, case)``, ``check(case, result)``."""

ALL = (
    "scalar_operation",
    "scalar_graph",
    "small_array",
    "custom_operation",
    "large_array",
    "descent_loops",
    "second_order",
    "footprint",
    "threads",
)
