-- Every probe has as many images as its plan says, numbered without gaps, and they are the images of its fingerprint.
with labelled as (
    select
        probe_id,
        image_id,
        path || chr(0) || sha256 as image,
        coalesce(chr(0) || 'group' || chr(0) || image_group, '') as said_of_group,
        coalesce(label, '') as label,
        regexp_extract(
            case when part is null then path else substr(path, length(part) + 2) end, '([^/]*)/[^/]*$', 1
        ) as folder
    from store.images
),

-- labels that are no names of the images' folders are hashed too; of older probes of lists they are not
found as (
    select
        probe_id,
        count(*) as images,
        max(image_id) - min(image_id) + 1 as numbers,
        sha256(
            string_agg(
                image || case when label = folder then '' else chr(0) || label end || said_of_group || chr(10),
                '' order by image_id
            )
        ) as fingerprint,
        sha256(string_agg(image || chr(10), '' order by image_id)) as old_fingerprint
    from labelled
    group by probe_id
)

select
    probes.name as probe,
    probes.images as images_planned,
    coalesce(found.images, 0) as images_found,
    probes.fingerprint in (found.fingerprint, found.old_fingerprint) as is_same_fingerprint
from store.probes
left join found using (probe_id)
where
    coalesce(found.images, 0) <> probes.images
    or found.numbers <> found.images
    or probes.fingerprint not in (found.fingerprint, found.old_fingerprint)
