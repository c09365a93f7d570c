-- Network Dissection: where units fire, against masks of what is there.

-- A layer's maps over a probe, beside one set of masks: it is complete once every chunk of the probe is in
-- store.dissected_chunks for both passes. Pixels are of the part of each image that the network sees.
create table store.dissections (
    dissection_id integer primary key,
    layer_id integer not null,
    probe_id integer not null,
    -- the concepts that the masks tell, whose fingerprint is over the masks too
    concept_set_id integer not null,
    -- share of all places of all images that are above a unit's threshold
    quantile double not null,
    -- of the layer's map of one image; null before the first chunk
    places integer,
    unique (layer_id, probe_id, concept_set_id, quantile)
);

create table store.dissected_chunks (
    dissection_id integer not null,
    chunk integer not null,
    -- thresholds or regions
    pass varchar not null check (pass in ('thresholds', 'regions')),
    run_id integer not null
);

-- While thresholds are sought: the highest values of each unit so far.
create table store.tails (
    dissection_id integer not null,
    unit integer not null,
    highest float[] not null
);

create table store.thresholds (
    dissection_id integer not null,
    unit integer not null,
    threshold double not null
);

-- The parts of an image that are of the same concepts, as a network sees it: numbered in the image from 0.
create table store.regions (
    model_id integer not null,
    concept_set_id integer not null,
    image_id integer not null,
    region integer not null,
    -- ascending; one that two masks tell is there twice
    concept_ids integer[] not null,
    pixels integer not null
);

-- One row per chunk of a probe whose regions are in store.regions.
create table store.region_chunks (
    model_id integer not null,
    concept_set_id integer not null,
    probe_id integer not null,
    chunk integer not null
);

-- How many pixels of a region are above a unit's threshold, where there are any.
create table store.active_regions (
    dissection_id integer not null,
    unit integer not null,
    image_id integer not null,
    region integer not null,
    pixels integer not null
);

-- On a unit's top images, what is above its threshold: an SVG path in a picture of 100 x 100 that is the whole image.
create table store.outlines (
    dissection_id integer not null,
    unit integer not null,
    image_id integer not null,
    outline varchar not null
);

-- above which a unit counts as active; null for labelers that have none
alter table store.labels add column threshold double;
-- pixels behind a similarity that is an intersection over a union; null for any other
alter table store.labels add column intersection_pixels bigint;
alter table store.labels add column union_pixels bigint;

-- The same of every concept that a unit meets at all, not only of its label; of labels of another tool those that it
-- wrote.
create table store.intersections (
    scoring_id integer not null,
    unit integer not null,
    concept_id integer not null,
    intersection_pixels bigint not null,
    union_pixels bigint not null
);
