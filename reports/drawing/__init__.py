"""What the charts are made of: colours, axes and keys, bars of concepts, and names that Vega can draw."""
