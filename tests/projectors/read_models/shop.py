"""The shop that the stories of read models begin with: statements, each a transaction."""

PEOPLE = """insert into users (id, email, first_name, last_name, display_name, avatar_url)
            values (1, 'ada@example.com', 'Ada', 'Lovelace', 'ada', '/ada.png'),
                   (2, 'grace@example.com', 'Grace', 'Hopper', 'grace', null),
                   (3, 'mary@example.com', 'Mary', 'Somerville', 'mary', null)"""
SELLERS = "insert into sellers (id, name) values (1, 'Mill'), (2, 'Forge')"
CATEGORIES = "insert into categories (id, name) values (1, 'Tools'), (2, 'Toys')"
PRODUCTS = """insert into products (id, seller_id, category_id, sku, name, description, price, currency, created_at)
              select n, 1 + n / 3, 1, 'S' || n, name, 'Made to last.', n * 10, 'USD', '2026-01-01T00:00:00Z'
                from (values (1, 'Saw'), (2, 'Axe'), (3, 'Awl')) made(n, name)"""  # 1 and 2 are the mill's
STOCK = "insert into stock (product_id, on_hand, reserved) values (1, 5, 2), (2, 1, 1)"
SHOP = (PEOPLE, SELLERS, CATEGORIES, PRODUCTS, STOCK)
ORDER = """insert into orders (id, number, user_id, currency, subtotal, tax, shipping, total, shipping_method,
                               shipping_address, estimated_delivery, placed_at)
           values (1, 'ORD-1', 1, 'USD', 20, 1.6, 5, 26.6, 'standard', '{"city": "London"}', '2026-12-01',
                   '2026-11-25T10:00:00Z');
           insert into order_items (id, order_id, product_id, sku, name, unit_price, quantity)
           values (1, 1, 1, 'S1', 'Saw', 10, 2);
           insert into payments (id, order_id, method, amount) values (1, 1, 'card', 26.6)"""
