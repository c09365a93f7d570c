-- What became of each unit of a layer over a probe, once all its activations are there.
insert into store.units
select
    $layer_id,
    $probe_id,
    unit,
    case
        when count(activation) < count(*) then 'not finite'
        when min(activation) = max(activation) then 'dead'
        else 'live'
    end as status,
    avg(activation) as mean,
    max(activation) as maximum,
    count(*) - count(activation) as not_finite
from store.activations
where layer_id = $layer_id and image_id between $first_image_id and $last_image_id
group by unit
order by unit
