-- Records that a migration was applied, in the transaction that applied it.
INSERT INTO migrations (name) VALUES (%(name)s);
