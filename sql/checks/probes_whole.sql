-- Every probe has as many images as its plan says, numbered without gaps, and they are the images of its fingerprint.
with found as (
    select
        probe_id,
        count(*) as images,
        max(image_id) - min(image_id) + 1 as numbers,
        sha256(string_agg(path || chr(0) || sha256 || chr(10), '' order by image_id)) as fingerprint
    from store.images
    group by probe_id
)

select
    probes.name as probe,
    probes.images as images_planned,
    coalesce(found.images, 0) as images_found,
    found.fingerprint = probes.fingerprint as is_same_fingerprint
from store.probes
left join found using (probe_id)
where
    coalesce(found.images, 0) <> probes.images
    or found.numbers <> found.images
    or found.fingerprint <> probes.fingerprint
