-- How far the labels of a scoring can be trusted, by `cli evaluate`.

create table store.evaluations (
    scoring_id integer not null,
    -- name of the file or set of true names; null where labels were verified on the other half of the probe
    truth varchar,
    measure varchar not null,
    value double,
    low double,
    high double,
    units integer not null
);
