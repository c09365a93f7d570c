-- The regions of an image are numbered from 0 without a gap, with the concepts of their set in order and some pixels
-- each, 112 x 112 at most together. Where a unit is active in one it is in no more of its pixels, once.
with images_with_regions as (
    select
        regions.model_id,
        regions.concept_set_id,
        regions.image_id,
        count(*) as regions,
        count(distinct regions.region) as distinct_regions,
        max(regions.region) as last_region,
        min(regions.pixels) as fewest_pixels,
        sum(regions.pixels) as pixels,
        bool_and(list_sort(regions.concept_ids) = regions.concept_ids) as are_in_order
    from store.regions
    group by regions.model_id, regions.concept_set_id, regions.image_id
),

strangers as (
    select distinct
        told.model_id,
        told.concept_set_id,
        told.image_id
    from (
        select
            model_id,
            concept_set_id,
            image_id,
            unnest(concept_ids) as concept_id
        from store.regions
    ) as told
    anti join store.concept_set_concepts using (concept_set_id, concept_id)
),

active as (
    select
        active_regions.dissection_id,
        active_regions.unit,
        active_regions.image_id,
        active_regions.region,
        count(*) as times,
        min(active_regions.pixels) as fewest_pixels,
        max(active_regions.pixels) as active_pixels,
        any_value(regions.pixels) as pixels,
        any_value(layers.units) as units
    from store.active_regions
    left join store.dissections using (dissection_id)
    left join store.layers using (layer_id)
    left join store.regions
        on
            layers.model_id = regions.model_id
            and dissections.concept_set_id = regions.concept_set_id
            and active_regions.image_id = regions.image_id
            and active_regions.region = regions.region
    group by active_regions.dissection_id, active_regions.unit, active_regions.image_id, active_regions.region
)

select
    null as dissection_id,
    null as unit,
    image_id,
    regions as found,
    pixels
from images_with_regions
where
    regions <> distinct_regions
    or last_region <> regions - 1
    or fewest_pixels < 1
    or pixels > 112 * 112
    or not are_in_order
union all
select
    null as dissection_id,
    null as unit,
    image_id,
    0 as found,
    0 as pixels
from strangers
union all
select
    dissection_id,
    unit,
    image_id,
    active_pixels as found,
    pixels
from active
where
    times > 1
    or fewest_pixels < 1
    or not coalesce(active_pixels <= pixels, false)
    or not coalesce(unit between 0 and units - 1, false)
