-- What each live unit of a layer fires on below its top images, see unit_histograms. One row per unit and band; the
-- bands are those of images_in_bands. Of each some images are shown, evenly by rank of those that are among the top
-- images of any unit of the setting and have a picture; where there are many of them in a band, of about 64. Images
-- that excite a unit equally are in the lowest band that one of them is in.
with live as (
    select unit
    from store.units
    where
        layer_id = $layer_id
        and probe_id = $probe_id
        and status = 'live'
),

of_layer as not materialized (
    select
        unit,
        image_id,
        activation
    from store.activations
    where
        layer_id = $layer_id
        and image_id between $first_image_id and $last_image_id
),

-- each band reaches as many times further down the ranks as the one before
ends as (
    select
        unnest(range(1, 5)) as band,
        $all_images / $top as times,
        floor($top * pow(times, (band - 1 + 1e-9) / 4))::integer + 1 as first_rank,
        floor($top * pow(times, (band + 1e-9) / 4))::integer as last_rank
),

-- the activations at the first and the last rank of each band: at rank r of n is the quantile 1 - (r - 0.5) / n
edges as (
    select
        unit,
        quantile_disc(
            activation,
            list_transform(
                range(8),
                lambda edge: greatest(0, 1 - (
                    floor($top * pow($all_images / $top, ((edge + 1) // 2 + 1e-9) / 4)) + 0.5 - edge % 2
                ) / $all_images)
            )
        ) as activations
    from of_layer
    where $all_images > $top
    group by unit
),

bands as (
    select
        live.unit,
        ends.band,
        ends.first_rank,
        ends.last_rank,
        edges.activations[2 * ends.band - 1] as highest,
        edges.activations[2 * ends.band] as lowest
    from live
    inner join edges using (unit)
    cross join ends
    where ends.first_rank <= ends.last_rank
),

candidates as (
    select distinct
        top_images.image_id,
        -- a number from 0 to 1, as good as random
        hash(top_images.image_id) % 1000 / 1000 as draw
    from scorings
    inner join store.scorings as numbers on scorings.scoring = numbers.scoring_id
    inner join store.top_images using (layer_id, probe_id)
    inner join store.thumbnails using (image_id)
    where
        scorings.setting = $setting
        and top_images.rank <= $top
),

-- how many of them to expect in each band
expected as (
    select
        ends.band,
        (ends.last_rank - ends.first_rank + 1) * count(*) / $all_images as images
    from candidates
    cross join ends
    group by ends.band, ends.first_rank, ends.last_rank
),

-- longer bands can do without some
pictured as (
    select
        candidates.image_id,
        max(expected.band) as lowest_band
    from candidates
    inner join expected on candidates.draw * expected.images < 64
    group by candidates.image_id
),

placed as (
    select
        of_layer.unit,
        of_layer.image_id,
        of_layer.activation,
        (of_layer.activation <= edges.activations[1])::integer
        + (of_layer.activation <= edges.activations[3])::integer
        + (of_layer.activation <= edges.activations[5])::integer
        + (of_layer.activation <= edges.activations[7])::integer as band
    from of_layer
    inner join pictured using (image_id)
    inner join edges using (unit)
    where band between 1 and pictured.lowest_band
),

-- an image at the top may excite the unit no more than one below it
own_top as (
    select
        unit,
        image_id
    from store.top_images
    where
        layer_id = $layer_id
        and probe_id = $probe_id
        and rank <= $top
),

ranked as (
    select
        placed.*,
        row_number() over of_band - 1 as place,
        count(*) over (partition by placed.unit, placed.band) as band_images
    from placed
    anti join own_top using (unit, image_id)
    window of_band as (
        partition by placed.unit, placed.band order by placed.activation desc, placed.image_id asc
    )
),

parts as (
    select unnest(range($images)) as part
),

-- the places in the middle of as many equal parts of a band
shown as (
    select distinct
        ranked.unit,
        ranked.band,
        ranked.place,
        ranked.image_id,
        ranked.activation
    from ranked
    inner join parts
        on ranked.place = ((parts.part + 0.5) * ranked.band_images / $images - 0.5)::integer
)

select
    bands.unit,
    bands.band,
    bands.first_rank,
    bands.last_rank,
    bands.highest,
    bands.lowest,
    list(shown.image_id order by shown.place) filter (shown.image_id is not null) as image_ids,
    list(shown.activation order by shown.place) filter (shown.image_id is not null) as activations
from bands
left join shown using (unit, band)
group by all
order by bands.unit asc, bands.band asc
