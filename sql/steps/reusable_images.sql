-- For images that are wanted, by their contents: those of other probes of which all is stored that they lack.
-- Where several are, the one of the probe that has most of them, then of the newest.
with readable as (
    select
        probe_id,
        count(*) as images
    from store.images
    where image_id not in (select failed_images.image_id from store.failed_images)
    group by probe_id
),

-- version 0.1 may have left images out of a layer
whole as (
    select
        chunks.layer_id,
        chunks.probe_id
    from store.chunks
    inner join readable using (probe_id)
    where list_contains($layer_ids, chunks.layer_id)
    group by chunks.layer_id, chunks.probe_id
    having sum(chunks.images) = any_value(readable.images)
),

finished as (
    select
        whole.layer_id,
        whole.probe_id
    from whole
    inner join store.layers using (layer_id)
    where
        not layers.is_imported
        and (whole.layer_id, whole.probe_id) in (select (units.layer_id, units.probe_id) from store.units)
),

complete as (
    select probes.probe_id
    from store.probes
    left join finished using (probe_id)
    where probes.probe_id is distinct from $probe_id
    group by probes.probe_id
    having count(finished.layer_id) = len($layer_ids)
),

stored as (
    select
        images.sha256,
        images.image_id,
        images.probe_id
    from store.images
    inner join complete using (probe_id)
    where
        images.image_id in (select thumbnails.image_id from store.thumbnails)
        and images.image_id not in (select failed_images.image_id from store.failed_images)
        and (
            $encoder_id is null
            or images.image_id in (
                select image_embeddings.image_id
                from store.image_embeddings
                where image_embeddings.encoder_id = $encoder_id
            )
        )
),

shared as (
    select
        wanted_images.image_id,
        stored.image_id as source_id,
        stored.probe_id,
        count(*) over (partition by stored.probe_id) as images
    from wanted_images
    inner join stored using (sha256)
)

select
    image_id,
    source_id
from shared
qualify row_number() over (partition by image_id order by images desc, probe_id desc, source_id asc) = 1
order by image_id
