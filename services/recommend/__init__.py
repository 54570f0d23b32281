"""What to show whom: recommendations from what people look at and buy.

Consumes  shop.catalog.v1     products, each as its newest snapshot
          shop.offers.v1      price, stock and sale window of each variant in each store
          shop.orders.v1      every order, as the snapshot that it now is
          shop.browse.v1      product.viewed, cart.item_added and _removed, wishlist.item_added
          crm.profiles.v1     profile.merged, profile.unmerged, erasure.requested (by the backbone)
Produces  crm.erasures.v1     erasure.completed (by the backbone)
Owns      product, offer      the catalogue as it now stands
          history             the newest interactions of each customer id, in one row
          order_seen          the last revision of each order, and the products that it counts for
          purchase            the orders that hold each product: the way from a product to baskets
          popularity          orders, units and views of each product
          also_bought         what is bought together with each product: a model, kept by a job
Serves    GET /v1/recommendations/{customer_id}      products for a person, each with its reason
          GET /v1/products/{product_id}              what is known of a product
          GET /v1/products/{product_id}/also-bought  what others bought with it
          GET /v1/orders/{order_id}                  what an order counts for
          GET /v1/models/also-bought                 how far the model is behind the orders
"""
