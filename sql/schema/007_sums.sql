-- Labels that are sums: what is added to them, and how much each of their concepts carries.

-- added to the weighted signals of a sum; null where a label predicts no activation
alter table store.labels add column intercept float;

-- of each term of the label, in order: its share of the variance that the label explains; below 0 where the concept
-- only corrects others
alter table store.fidelities add column shares float[];
-- two concepts with unlike signals each have a third or more of it
alter table store.fidelities add column is_polysemantic boolean;
-- how alike the images are that the unit fires on, weighted by its activations
alter table store.fidelities add column monosemanticity float;
