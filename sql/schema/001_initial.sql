-- The tables behind the views. Users build on the views in schema main; this schema may change.
-- Identity follows fingerprints: what has the same fingerprint is the same thing and is stored once.
-- Keys stand on the small tables only: on the big ones they would cost ten times the load time.

create schema store;

create table store.migrations (
    version integer primary key,
    applied_at timestamp not null
);

create table store.runs (
    run_id integer primary key,
    command varchar not null,
    status varchar not null check (status in ('running', 'finished', 'failed', 'interrupted')),
    started_at timestamp not null,
    finished_at timestamp,
    device varchar not null,
    versions json not null,
    recipe json not null,
    images integer not null default 0,
    failed_images integer not null default 0,
    extract_seconds double not null default 0,
    load_seconds double not null default 0,
    score_seconds double not null default 0
);

create table store.models (
    model_id integer primary key,
    name varchar not null unique,
    fingerprint varchar not null unique,
    source varchar not null,
    is_random boolean not null
);

create table store.layers (
    layer_id integer primary key,
    model_id integer not null references store.models (model_id),
    name varchar not null,
    fingerprint varchar not null unique,
    position integer not null,
    units integer not null check (units > 0),
    pooling varchar not null,
    -- side of the square that a pixel of the map sees, as a share of the image's shorter side; null without a map
    receptive_field float,
    unique (model_id, name)
);

create table store.probes (
    probe_id integer primary key,
    name varchar not null unique,
    fingerprint varchar not null unique,
    location varchar not null,
    images integer not null,
    chunk_images integer not null check (chunk_images > 0)
);

create table store.images (
    image_id integer primary key,
    probe_id integer not null references store.probes (probe_id),
    path varchar not null,
    label varchar,
    sha256 varchar not null,
    unique (probe_id, path)
);

create table store.thumbnails (
    image_id integer not null,
    width integer not null,
    height integer not null,
    webp blob not null
);

create table store.failed_images (
    image_id integer primary key,
    reason varchar not null
);

create table store.encoders (
    encoder_id integer primary key,
    name varchar not null unique,
    fingerprint varchar not null unique,
    dimensions integer not null check (dimensions > 0),
    source varchar not null
);

create table store.concepts (
    concept_id integer primary key,
    concept varchar not null unique
);

create table store.concept_sets (
    concept_set_id integer primary key,
    name varchar not null unique,
    fingerprint varchar not null unique,
    concepts integer not null,
    dropped_duplicates integer not null,
    dropped_blanks integer not null
);

create table store.concept_set_concepts (
    concept_set_id integer not null,
    position integer not null,
    concept_id integer not null,
    category varchar not null
);

create table store.concept_embeddings (
    encoder_id integer not null,
    prompt varchar not null,
    concept_id integer not null,
    embedding float[] not null
);

create table store.image_embeddings (
    encoder_id integer not null,
    image_id integer not null,
    embedding float[] not null
);

-- The pooled response of a unit to an image; null where it was not a finite number.
create table store.activations (
    layer_id integer not null,
    unit integer not null,
    image_id integer not null,
    activation float
);

-- For each chunk of images the highest activations of each unit, with the place of the maximum in the
-- whole image (0 to 1 from the left and from the top); top_images is made from them.
create table store.top_candidates (
    layer_id integer not null,
    probe_id integer not null,
    unit integer not null,
    image_id integer not null,
    activation float not null,
    peak_x float,
    peak_y float
);

-- One row per chunk of a probe and layer or encoder that it was loaded for: committed with its values.
create table store.chunks (
    probe_id integer not null,
    chunk integer not null,
    layer_id integer,
    encoder_id integer,
    run_id integer not null,
    images integer not null,
    check ((layer_id is null) <> (encoder_id is null))
);

-- Written once all chunks of a layer are there.
create table store.units (
    layer_id integer not null,
    probe_id integer not null,
    unit integer not null,
    status varchar not null check (status in ('live', 'dead', 'not finite')),
    mean float,
    maximum float,
    not_finite integer not null
);

create table store.top_images (
    layer_id integer not null,
    probe_id integer not null,
    unit integer not null,
    rank integer not null,
    image_id integer not null,
    activation float not null,
    peak_x float,
    peak_y float
);

create table store.scorings (
    scoring_id integer primary key,
    fingerprint varchar not null unique,
    run_id integer not null,
    layer_id integer not null references store.layers (layer_id),
    probe_id integer not null references store.probes (probe_id),
    encoder_id integer not null references store.encoders (encoder_id),
    concept_set_id integer not null references store.concept_sets (concept_set_id),
    method varchar not null,
    parameters json not null,
    prompt varchar not null,
    images integer not null,
    units integer not null,
    null_draws integer not null,
    seed integer not null,
    kept_concepts integer not null
);

create table store.labels (
    scoring_id integer not null,
    unit integer not null,
    concept_id integer,
    similarity float,
    runner_up_id integer,
    runner_up_similarity float,
    p_value float,
    q_value float
);

create table store.similarities (
    scoring_id integer not null,
    unit integer not null,
    concept_id integer not null,
    similarity float not null
);
