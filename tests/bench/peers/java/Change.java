import java.nio.charset.StandardCharsets;

/** One change of membership. */
public record Change(String customer, String segment, String kind, long at, long sequence, String cause) {
    byte[] encode() {
        String text = "{\"customer\":\"" + customer + "\",\"segment\":\"" + segment + "\",\"kind\":\"" + kind + "\",\"at\":" + at
            + ",\"sequence\":" + sequence + ",\"cause\":\"" + cause + "\"}";
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
