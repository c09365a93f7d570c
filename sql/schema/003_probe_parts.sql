-- Where a probe was put together from several, the one that an image came from; null in any other probe.

alter table store.images add column part varchar;
