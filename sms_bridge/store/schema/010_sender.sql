-- The number or name that an order is to be sent from; NULL: any.
ALTER TABLE orders ADD COLUMN sender TEXT;
