-- How far each label predicts its unit, and by which images that was found out.

-- What other images of the same photograph share with it, such as crops or frames; null where nothing is said.
alter table store.images add column image_group varchar;

create table store.judgements (
    scoring_id integer primary key,
    -- whose images and embeddings the labels were judged by; null for figures that came with the labels
    probe_id integer,
    -- null where no embedding was looked at
    encoder_id integer,
    -- null for figures that came with the labels
    images integer,
    -- what was kept together when images were left out: image or label; null where none of them chose the labels
    kept_together varchar
);

create table store.fidelities (
    scoring_id integer not null,
    unit integer not null,
    correlation float,
    cubed_correlation float,
    cosine float,
    auprc float,
    f1 float,
    iou float,
    held_out_correlation float,
    held_out_cubed_correlation float,
    held_out_cosine float,
    held_out_auprc float,
    held_out_f1 float,
    held_out_iou float,
    ceiling float,
    stability float,
    confidence float,
    -- share of pseudo-units whose own labels predict them at least as well, and over the layer's units
    p_value float,
    q_value float
);
