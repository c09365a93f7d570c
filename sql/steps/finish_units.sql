-- What became of each unit of a layer over a probe, once all its activations are there.
-- Dead is a unit whose activations differ by no more than the noise of float32 sums, which depends on how
-- images fell into batches: equal to five digits.
insert into store.units
select
    $layer_id,
    $probe_id,
    unit,
    case
        when count(activation) < count(*) then 'not finite'
        when max(activation) - min(activation) <= 1e-5 * greatest(abs(min(activation)), abs(max(activation)))
            then 'dead'
        else 'live'
    end as status,
    avg(activation) as mean,
    max(activation) as maximum,
    count(*) - count(activation) as not_finite
from store.activations
where layer_id = $layer_id and image_id between $first_image_id and $last_image_id
group by unit
order by unit
