-- What does one unit fire on below its top images? A label that fits those may not fit the rest.
-- All images below the top are divided by rank into four bands; each reaches as many times further down as the one
-- before. Of 57,000 images below 10: to rank 87, 755, 6,560 and 57,000. Of each band some images are shown, evenly by
-- rank.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $top: integer = 10; how many images are at the top
--   $images: integer = 6; how many of each band
--   $probe: text = ; the probe; each where not given
with ranked as (
    select
        activations.probe,
        activations.image_id,
        activations.image,
        activations.label,
        activations.activation,
        row_number() over of_probe as rank,
        count(*) over (partition by activations.probe) as all_images
    from activations
    where
        activations.model = $model
        and activations.layer = $layer
        and activations.unit = $unit::integer
        and ($probe::varchar is null or activations.probe = $probe::varchar)
        and activations.activation is not null
    window of_probe as (
        partition by activations.probe
        order by activations.activation desc, activations.image_id asc
    )
),

banded as (
    select
        *,
        -- the quarter of the way from the top to the last rank, both as logarithms
        greatest(ceil(4 * ln(rank / $top::integer) / ln(all_images / $top::integer) - 1e-9), 1)::integer as band
    from ranked
    where rank > $top::integer
),

placed as (
    select
        *,
        min(rank) over of_band as first_rank,
        max(rank) over of_band as last_rank,
        max(activation) over of_band as highest,
        min(activation) over of_band as lowest,
        rank - first_rank as place,
        last_rank - first_rank + 1 as band_images
    from banded
    window of_band as (partition by probe, band)
),

parts as (
    select unnest(range($images::integer)) as part
),

-- the places in the middle of as many equal parts of a band
shown as (
    select placed.*
    from placed
    cross join parts
    where placed.place = ((parts.part + 0.5) * placed.band_images / $images::integer - 0.5)::integer
)

select
    band,
    rank,
    image,
    label,
    activation,
    first_rank,
    last_rank,
    highest,
    lowest,
    all_images,
    image_id,
    probe
from shown
group by all
order by probe, rank
