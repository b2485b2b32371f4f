-- expected
select s.id, jsonb_build_object('id', s.id::text, 'name', s.name, 'reputation', avg(r.rating)::numeric(3, 2),
                                'review_count', count(r.id), 'product_count', count(distinct p.id)) as document
  from public.sellers s
  left join public.products p on p.seller_id = s.id
  left join public.reviews r on r.product_id = p.id
 group by s.id
-- stored
select id, document from read_models.seller_card
