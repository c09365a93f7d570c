-- No stored number is NaN or infinite, and every p and q lies between 0 and 1.
select
    'activations' as table_name,
    layer_id as number,
    unit,
    activation as value
from store.activations
where not isfinite(activation)
union all
select
    'similarities' as table_name,
    scoring_id as number,
    unit,
    similarity as value
from store.similarities
where not isfinite(similarity)
union all
select
    'labels' as table_name,
    scoring_id as number,
    unit,
    similarity as value
from store.labels
where
    not isfinite(similarity)
    or not isfinite(runner_up_similarity)
    or not p_value between 0 and 1
    or not q_value between 0 and 1
union all
select
    'labels' as table_name,
    scoring_id as number,
    unit,
    intercept as value
from store.labels
where not isfinite(intercept)
union all
select
    'labels' as table_name,
    scoring_id as number,
    unit,
    threshold as value
from store.labels
where not isfinite(threshold)
union all
select
    'thresholds' as table_name,
    dissection_id as number,
    unit,
    threshold as value
from store.thresholds
where not isfinite(threshold)
