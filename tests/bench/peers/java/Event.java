import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;

/** What the five segments ask of an event. */
record Event(String customer, String name, double total) {
    private static final JsonFactory FACTORY = new JsonFactory();

    /** Reads the whole object as a stream of tokens, the quickest way that Jackson has. */
    static Event parse(byte[] raw) {
        String customer = "", name = "";
        double total = 0;
        try (JsonParser parser = FACTORY.createParser(raw)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                parser.nextToken();
                switch (field) {
                    case "userId" -> customer = parser.getText();
                    case "event" -> name = parser.getText();
                    case "properties" -> total = total(parser);
                    default -> parser.skipChildren();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return new Event(customer, name, total);
    }

    private static double total(JsonParser parser) throws IOException {
        double total = 0;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            boolean wanted = parser.currentName().equals("total");
            parser.nextToken();
            if (wanted) total = parser.getDoubleValue();
            else parser.skipChildren();
        }
        return total;
    }
}
