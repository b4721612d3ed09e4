import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** The five segments on Flink: a local cluster of one slot, a checkpoint each second, timers of event time, exactly once into Kafka. */
public final class FlinkJob {
    /** An event and its time, for Flink's own serializer. */
    public static class Timed {
        public String customer = "", name = "";
        public double total;
        public long at;

        public Timed() {}

        Timed(Event event, long at) {
            customer = event.customer();
            name = event.name();
            total = event.total();
            this.at = at;
        }
    }

    static final class Reading implements KafkaRecordDeserializationSchema<Timed> {
        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Timed> out) {
            Progress.one();
            out.collect(new Timed(Event.parse(record.value()), record.timestamp()));
        }

        @Override
        public TypeInformation<Timed> getProducedType() {
            return TypeInformation.of(Timed.class);
        }
    }

    /** A class and no lambda: Flink asks it for its types. */
    static final class CustomerOf implements SerializationSchema<Change> {
        @Override
        public byte[] serialize(Change change) {
            return change.customer().getBytes(StandardCharsets.UTF_8);
        }
    }

    static final class Writing implements SerializationSchema<Change> {
        @Override
        public byte[] serialize(Change change) {
            return change.encode();
        }
    }

    static final class Segments extends KeyedProcessFunction<String, Timed, Change> {
        private transient ValueState<Customer> customers;

        @Override
        public void open(OpenContext context) {
            customers = getRuntimeContext().getState(new ValueStateDescriptor<>("customer", Customer.class));
        }

        @Override
        public void processElement(Timed timed, Context context, Collector<Change> out) throws Exception {
            String who = context.getCurrentKey();
            Customer customer = customers.value();
            if (customer == null) customer = Customer.at(timed.at);
            long before = customer.due;
            customer.wake(who, timed.at, out::collect);
            customer.take(who, new Event(who, timed.name, timed.total), timed.at, out::collect);
            keep(customer, before, context);
        }

        @Override
        public void onTimer(long at, OnTimerContext context, Collector<Change> out) throws Exception {
            Customer customer = customers.value();
            if (customer.due != at) return;
            customer.wake(context.getCurrentKey(), at, out::collect);
            keep(customer, at, context);
        }

        private void keep(Customer customer, long before, Context context) throws Exception {
            customers.update(customer);
            if (customer.due == before) return;
            if (before != Customer.NEVER) context.timerService().deleteEventTimeTimer(before);
            if (customer.due != Customer.NEVER) context.timerService().registerEventTimeTimer(customer.due);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("state.backend.type", System.getenv("JOB_BACKEND"));
        settings.setString("execution.checkpointing.interval", "1s");
        settings.setString("execution.checkpointing.dir", "file://" + System.getenv("JOB_STATE"));
        settings.setString("pipeline.auto-watermark-interval", "50ms");
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("pipeline.generic-types", "false");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        KafkaSource<Timed> source = KafkaSource.<Timed>builder()
            .setBootstrapServers(System.getenv("JOB_KAFKA"))
            .setTopics(System.getenv("JOB_EVENTS"))
            .setGroupId(System.getenv("JOB_GROUP"))
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setDeserializer(new Reading())
            .build();
        Properties producer = new Properties();
        producer.setProperty("transaction.timeout.ms", "600000");
        KafkaSink<Change> sink = KafkaSink.<Change>builder()
            .setBootstrapServers(System.getenv("JOB_KAFKA"))
            .setKafkaProducerConfig(producer)
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix(System.getenv("JOB_GROUP"))
            .setRecordSerializer(KafkaRecordSerializationSchema.<Change>builder()
                .setTopic(System.getenv("JOB_CHANGES"))
                .setKeySerializationSchema(new CustomerOf())
                .setValueSerializationSchema(new Writing())
                .build())
            .build();
        environment
            .fromSource(source, WatermarkStrategy.<Timed>forMonotonousTimestamps(), "events")
            .keyBy((KeySelector<Timed, String>) timed -> timed.customer)
            .process(new Segments())
            .returns(Change.class)
            .sinkTo(sink);
        environment.execute("segments");
    }
}
