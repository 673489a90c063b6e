-- An upsert of many addresses; execute_values writes their rows.
INSERT INTO users_address (uid, city, state, country, zip_prefix, lat, lng, street) VALUES %s
ON CONFLICT (uid) DO UPDATE SET
    city = excluded.city,
    state = excluded.state,
    country = excluded.country,
    zip_prefix = excluded.zip_prefix,
    lat = excluded.lat,
    lng = excluded.lng,
    street = excluded.street
