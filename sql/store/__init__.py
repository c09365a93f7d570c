"""All that is written to and read from the tables of `store`, one module a noun: plain functions of a warehouse.

Read `names` first, which says what is the same thing; then what is named (`probes`, `layers`, `encoders`, `concepts`);
then what is computed (`images`, `chunks`, `uneven`, `features`, `scorings`); and `runs`, who did it. Users build on
the views; the schema may change.
"""
